"""The entry point that the first README names: `uvicorn app.main:app`."""
