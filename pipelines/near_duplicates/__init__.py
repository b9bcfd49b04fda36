"""Near-duplicate detection: shingles, MinHash, bands, verification, connected components, representatives.

The way of a document: its text becomes 64-bit shingle hashes (`words`, `shingles`), these a MinHash signature
(`minhash`), this a few band keys (`lsh`). Documents that share a bucket are compared by exact Jaccard (`jaccard`,
`verification`); pairs at or above the threshold are edges of a graph whose connected components (`components`) are the
clusters, and each cluster keeps one document (`clusters`). Of a document only hashes travel, never text.
"""
