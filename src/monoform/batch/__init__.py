"""Many photos: which ones, with which masks and meshes, into which folders, and what to do when one of them fails.

sources.py      folders, globs and files -> photos, masks, meshes
photo_match.py  one photo: read, mask, align, pictures, folder
runner.py       all photos: resume, one failure does not stop the rest, results.jsonl, run.json
"""
