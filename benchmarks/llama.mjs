// llama.cpp on the starter's own GGUF, as the npm package node-llama-cpp carries it:
//   npm install --ignore-scripts node-llama-cpp && node benchmarks/llama.mjs FILE.gguf
// Prints one JSON line: first token (s) by prompt length, and tokens per second to decode one answer
// and eight at a time.
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const [file, folder = process.cwd()] = process.argv.slice(2);
const entry = createRequire(`${folder}/x.js`).resolve("node-llama-cpp");
const {getLlama} = await import(pathToFileURL(entry));
const llama = await getLlama({gpu: false, build: "never", logLevel: "error"});
const model = await llama.loadModel({modelPath: file});
const context = await model.createContext({contextSize: 2560, sequences: 1, threads: 2});
const sequence = context.getSequence();

async function run(sequence, prompt, count) {
    await sequence.clearHistory();
    const began = performance.now();
    let first = 0, made = 0;
    for await (const _ of sequence.evaluate(prompt, {temperature: 0})) {
        if (++made === 1) first = performance.now() - began;
        if (made >= count) break;
    }
    const rest = performance.now() - began - first;
    return {first: first / 1000, decode: (made - 1) / (rest / 1000)};
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const words = (size) => model.tokenize("word ".repeat(size)).slice(0, size);
const result = {first_token: {}, decode: 0, eight: 0};
for (const size of [64, 512, 2000]) {
    const runs = [];
    for (let i = 0; i < 4; i++) runs.push(await run(sequence, words(size), size === 64 ? 50 : 2));
    runs.shift();
    result.first_token[size] = median(runs.map((r) => r.first));
    if (size === 64) result.decode = median(runs.map((r) => r.decode));
}
await context.dispose();
const shared = await model.createContext({contextSize: 256, sequences: 8, threads: 2});
const eight = Array.from({length: 8}, () => shared.getSequence());
const rates = [];
for (let i = 0; i < 4; i++) {
    const began = performance.now();
    await Promise.all(eight.map((one, n) => run(one, words(50 + n), 50)));
    rates.push(8 * 50 / ((performance.now() - began) / 1000));
}
rates.shift();
result.eight = median(rates);
console.log(JSON.stringify(result));
process.exit(0);
