"""Who answers: the port, and one module for each kind of provider."""
