"""What must survive a killed process: one database, SQLite on a laptop or PostgreSQL.

Tables, migrations and the stores over them. Nothing here knows HTTP or Ray. All
calls block: a caller on an event loop runs them in a thread.
"""
