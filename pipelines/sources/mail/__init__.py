"""Mail in mbox files: a file into messages (mbox.py), a message into text (mime.py, body.py), messages into threads
(threads.py).
"""
