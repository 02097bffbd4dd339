"""Whether two notebooks show the same: their outputs, cell by cell.  Nothing is loaded or executed."""
