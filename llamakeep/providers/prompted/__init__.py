"""Tools and formats for models that have none: asked for in the prompt."""
