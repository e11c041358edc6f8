"""Files that grow, as a source: logs, JSON lines, CSV. Followed through rotation and truncation, each line once.

`marks` says where each file is (pure), `folder` which files there are, `tail` reads them.
"""
