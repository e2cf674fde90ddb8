"""Batch scoring without HTTP: files of records in, files of replies out, by what answers requests in `serving`."""
