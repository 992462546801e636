// Starts the page. Glue is fetched once and kept as a blob, so that workers started later ask the network for nothing.
const start = async (glue, module) => {
  const text = await (await ask(glue)).text();
  const { default: init } = await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
  await init({ module_or_path: ask(module) });
};
const ask = async (path) => {
  const answer = await fetch(path, { cache: "no-cache" });
  if (!answer.ok) throw new Error(`${path} is not there (${answer.status})`);
  return answer;
};
const say = (kind, detail) => document.dispatchEvent(new CustomEvent(kind, { detail }));
const { glue, module } = document.getElementById("boot").dataset;
await start(glue, module);

// What runs networks is a module of its own, loaded when it is first asked for.
let loaded;
const accuracy = () => (loaded ??= start("accuracy.js", "accuracy_bg.wasm").catch((error) => {
  loaded = undefined;
  throw error;
}));
const attempt = async (button, work) => {
  button.disabled = true;
  try {
    await work();
  } catch (error) {
    say("sample-failed", `That could not be loaded: ${error.message}`);
  }
  button.disabled = false;
};
const button = document.getElementById("accuracy-button");
button.addEventListener("click", () => attempt(button, accuracy));

// A sample: its network and curvature for the page, its data for what runs networks.
const file = async (name) => new File([await (await ask(`samples/${name}`)).blob()], name);
for (const sample of document.querySelectorAll("[data-sample]")) {
  const { sample: id, digits } = sample.dataset;
  sample.addEventListener("click", () => attempt(sample, async () => {
    const ready = accuracy();
    const data = file(`digits-${digits}.npz`);
    say("sample-open", await Promise.all([file(`${id}.onnx`), file(`${id}.curvature.safetensors`)]));
    await ready;
    say("accuracy-data", { files: [await data], model: `${id}.onnx`, curvature: true });
  }));
}
