"""Reading raw tables (CSV, Parquet) as their columns are declared, with bad rows set aside and counted."""
