"""What a restored database has to be told about the time after its backup."""

MAY_HAVE_BEEN_ASKED = (
    "UPDATE runs SET status = 'starting', attempt = attempt + 1, "
    "started_at = created_at WHERE status = 'queued'"
)
"""
What was waiting when a backup was written may have been asked after that.

Its answer is looked for before it is asked again, like that of a killed server.
"""
