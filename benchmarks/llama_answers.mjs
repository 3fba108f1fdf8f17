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
const context = await model.createContext({contextSize: 2048, threads: 2, ...adapters});
const sequence = context.getSequence();
const answers = [];
for (const prompt of asked.prompts) {
    await sequence.clearHistory();
    const made = [];
    for await (const token of sequence.evaluate(model.tokenize(prompt, true), {temperature: 0})) {
        if (model.isEogToken(token)) break;
        made.push(token);
        if (made.length >= asked.length || model.detokenize([token], true) === "<end_of_turn>") break;
    }
    answers.push(model.detokenize(made, false));
}
console.log(JSON.stringify(answers));
process.exit(0);
