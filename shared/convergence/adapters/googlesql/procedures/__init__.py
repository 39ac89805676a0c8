"""Files with one CREATE PROCEDURE."""
