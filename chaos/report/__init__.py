"""What a person sees of a run: progress while it runs, one page at its end, and the figures of many runs.

Everything here reads: a history, a run's folder, files of figures. Nothing knows an arena, a workload or a checker.

- `page.py` makes `report.html` of a run's folder (`python -m chaos.report FOLDER`); `timeline.py` counts, `pictures.py`
  draws, `markup.py` escapes.
- `progress.py` shows a run in a terminal, or in a log, while it goes on.
- `figures.py` adds runs up, for `chaos/figures.json` and the block of figures in `chaos/GUARANTEES.md`.
"""
