"""NYC flights 2013: where the files are, what a good row is, and how rows are counted.

Pure Python: no Django, no Celery, no pandas. Whatever a pipeline does to a row is
decided here, so that a test can run it over all 336,776 flights in seconds.
"""
