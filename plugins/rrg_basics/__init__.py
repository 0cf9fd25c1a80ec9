"""What every recipe needs: simple adapters, the report objective, random masking."""
