"""Commands that read: report, compare, upload, replay, and the guides."""
