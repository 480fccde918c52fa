"""Commands about studies that are there: report, compare, upload, replay."""
