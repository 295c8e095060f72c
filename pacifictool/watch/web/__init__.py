"""The page: what it consists of (`assets`), who feeds it (`source`), and how it is served (`app`, `server`)."""
