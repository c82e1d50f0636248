"""Bilevel optimization of anything: outer variables of one's own, an inner problem of plain functions."""
