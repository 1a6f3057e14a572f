"""
Directus' query language over plain records: `fields`, `filter`, `search`, `sort`, `aggregate`, …

Two halves that do not know each other. `language.parse` turns parameters into a frozen `Query`
and says everything that is wrong with them; `run` finds the answer to a `Query` in records that
are in memory. What else can answer one (a database, say) needs only `model`. `export` writes
answers down.
"""
