"""The declaration of an app: tables, features, heads, reply, and the checks over them."""
