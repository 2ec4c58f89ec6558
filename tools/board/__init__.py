"""Commands around a board: `swathpack bundle`, `swathpack flash`, `swathpack board`."""
