// Crashes at boot, after it has said why.
console.log("starting");
throw new Error("DATABASE_URL is not set");
