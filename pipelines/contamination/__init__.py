"""N-gram overlap between training documents and evaluation sets, as GPT-3 and GLaM count it.

evaluation_sets ─▶ ngrams ─▶ matching ─▶ removal
examples' texts    the set   found in    what is cut out
                   on disk   a text      of a document
"""
