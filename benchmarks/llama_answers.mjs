// What llama.cpp answers with an exported file, and with an adapter's on its base: JSON in, JSON out.
//   node llama_answers.mjs FOLDER MODEL.gguf [LORA.gguf] < '{"prompts": [...], "length": 64}'
// FOLDER is where `npm install --ignore-scripts node-llama-cpp` was run.
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const [folder, file, lora] = process.argv.slice(2);
const asked = JSON.parse(readFileSync(0, "utf8"));
const entry = createRequire(`${folder}/x.js`).resolve("node-llama-cpp");
const {getLlama} = await import(pathToFileURL(entry));
const llama = await getLlama({gpu: false, build: "never", logLevel: "error"});
const model = await llama.loadModel({modelPath: file});
const adapters = lora ? {lora: {adapters: [{filePath: lora}]}} : {};
const context = await model.createContext({contextSize: 2048, threads: 1, ...adapters});
const sequence = context.getSequence();
const answers = [], tokens = [];
for (const prompt of asked.prompts) {
    await sequence.clearHistory();
    const read = model.tokenize(prompt, true), made = [];
    for await (const token of sequence.evaluate(read, {temperature: 0})) {
        if (model.isEogToken(token)) break;
        made.push(token);
        if (made.length >= asked.length) break;
    }
    answers.push(model.detokenize(made, false));
    tokens.push(read);
}
console.log(JSON.stringify({version: llama.llamaCppRelease.release, answers, tokens}));
process.exit(0);
