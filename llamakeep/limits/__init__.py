"""Rate limits on requests, and throttling of failed logins."""
