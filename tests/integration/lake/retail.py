"""Invoices in the shape of UCI's Online Retail: the same columns, seeded."""

import csv
import random
from datetime import datetime, timedelta
from pathlib import Path

COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
CUSTOMERS = 200


def write(path: Path, end: datetime, seed: int = 7) -> int:
    """Two years of invoices up to `end`; some returns, some without a customer. Gives how many lines there are."""
    chance = random.Random(seed)  # noqa: S311  the same file each time
    lines = 0
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(1_500):
            kind = chance.random()
            customer = str(12_346 + int(CUSTOMERS * chance.random() ** 2))
            if kind < 0.2:  # nobody, or somebody who comes once
                customer = "" if kind < 0.1 else str(90_000 + number)
            at = end - timedelta(minutes=chance.randrange(60, 700 * 24 * 60))
            returned = chance.random() < 0.05
            for _ in range(chance.randint(1, 4)):
                quantity = chance.randint(1, 24)
                writer.writerow(
                    (
                        f"{'C' if returned else ''}{536_365 + number}",
                        f"{chance.randrange(10_000, 99_999)}{chance.choice(('', 'A', 'B'))}",
                        "WHITE HANGING HEART, T-LIGHT HOLDER" if lines % 3 else 'SET OF 7 "BABUSHKA" BOXES',
                        -quantity if returned else quantity,
                        f"{at.month}/{at.day}/{at.year} {at.hour}:{at.minute:02d}",
                        f"{chance.randrange(10, 2_000) / 100:.2f}",
                        customer,
                        "United Kingdom",
                    )
                )
                lines += 1
    return lines
