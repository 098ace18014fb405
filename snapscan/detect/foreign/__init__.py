"""Rules written for other tools, turned into ours. What cannot be honoured is refused, naming the field; nothing is left out in silence."""
