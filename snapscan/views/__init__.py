"""Owner's bytes -> decoded bytes: archive members and decompressed streams. `walk.walk` opens a view and the views inside it."""
