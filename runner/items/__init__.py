"""
The items of collections: rows of the tables and views of databases, read and written as JSON.

`databases` is the door: it costs nothing until an item operation runs, and loads SQLAlchemy then,
with all that is built on it.
"""
