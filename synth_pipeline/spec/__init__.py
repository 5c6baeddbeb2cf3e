"""The YAML's typed form: pure pydantic, documented field by field; no Dagster, no data libraries."""
