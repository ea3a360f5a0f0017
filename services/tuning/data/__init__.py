"""Training files: read, checked, counted, compared and divided.

examples.py      what a trainer reads: one frozen value a line
reading.py       a file -> examples, or the reason with its line
checking.py      a file -> a report, or what is to be mended
counting.py      examples -> tokens
sources/         bytes -> rows, one file per kind of file
records.py       rows -> examples, one parser per format
"""
