"""Run the whole platform on one machine and compare its ledger with what arrived over OTLP."""
