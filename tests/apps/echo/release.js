// The release command. RELEASE_FAIL=7 makes it fail with that status, RELEASE_MS makes it slow.
const { RELEASE_FAIL, RELEASE_MS = 0, HOIST_RELEASE = "?" } = process.env;
console.log(`release command of ${HOIST_RELEASE}`);
setTimeout(() => {
  if (RELEASE_FAIL) console.error("release command fails, as it was told to");
  process.exit(Number(RELEASE_FAIL || 0));
}, Number(RELEASE_MS));
