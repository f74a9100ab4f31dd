"""Searches made of others: early stopping around any, two joined, another library's samplers."""
