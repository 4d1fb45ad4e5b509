"""said"""
