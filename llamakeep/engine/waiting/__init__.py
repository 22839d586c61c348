"""How runs wait for their turn: slots, and who gets one when."""
