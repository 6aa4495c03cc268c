// The names of the gateway's options that the cases use, in one place: a configuration file is
// written from what a case asks for.

import fs from 'node:fs';

function scalar(v) {
  if (typeof v === 'number' || typeof v === 'boolean') return String(v);
  return JSON.stringify(v); // a double-quoted JSON string is a double-quoted YAML string
}

// {option: value | [values]} as the YAML file the gateway reads.
export function writeConfig(file, options) {
  const lines = [];
  for (const [k, v] of Object.entries(options)) {
    if (Array.isArray(v)) {
      lines.push(`${k}:`);
      for (const one of v) lines.push(`  - ${scalar(one)}`);
    } else {
      lines.push(`${k}: ${scalar(v)}`);
    }
  }
  fs.writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}
