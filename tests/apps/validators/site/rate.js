var rate=10;
