-- Dagster's runs and events beside the metastore; the image of PostgreSQL runs this once.
CREATE DATABASE dagster;
