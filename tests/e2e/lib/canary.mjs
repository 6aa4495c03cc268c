// Secrets that are looked for afterwards, in every spelling in which one could have got out.

function base64(value) {
  // its place among the three bytes of a group decides how it looks: what is sure of each
  const b = Buffer.from(value);
  return [0, 1, 2].map((lead) => {
    const text = Buffer.concat([Buffer.alloc(lead), b]).toString('base64').replace(/=+$/, '');
    return text.slice(lead ? lead + 1 : 0, text.length - ((lead + b.length) % 3 ? 1 : 0));
  });
}

export function spellings(value) {
  const b = Buffer.from(value);
  const some = [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1), b.toString('hex'), b.toString('hex').toUpperCase(),
    [...value].reverse().join(''), b.toString('utf16le'), ...base64(value)];
  return [...new Set([...some, ...base64(value).map((s) => s.replaceAll('+', '-').replaceAll('/', '_'))])];
}

// {what: value} -> a function that lists which of them are in some bytes. The middle of a value is
// looked for, too: a cut one is as bad.
export class Canaries {
  constructor() { this.all = []; }

  add(what, value) {
    const half = value.length >= 32 ? [value.slice(6, -6)] : [];
    for (const v of [value, ...half]) for (const s of spellings(v)) this.all.push([what, s]);
    return value;
  }

  find(where, bytes, except = []) {
    const text = Buffer.isBuffer(bytes) ? bytes.toString('latin1') : String(bytes);
    const hit = new Set(this.all.filter(([what, s]) => !except.includes(what) && text.includes(s)).map(([what]) => what));
    return [...hit].map((what) => `${what} in ${where}`);
  }
}
