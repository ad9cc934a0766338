"""The values of the Helm chart as types, and the schema that is generated from them."""
