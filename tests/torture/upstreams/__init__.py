"""Who answers the prompts of sites, beside Replicate itself."""
