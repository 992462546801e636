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
// Its panel is shown once it is asked for; the page itself runs a network with what it compressed it to.
let asked = false;
const panel = async () => {
  await accuracy();
  asked = true;
  say("accuracy-hello");
};
document.addEventListener("run-wanted", async ({ detail }) => {
  try {
    await accuracy();
    say("run-network", detail);
  } catch (error) {
    say("run-told", { id: detail.id, failed: error.message });
  }
});
document.addEventListener("samples-given", ({ detail }) => attempt(button, async () => {
  await panel();
  say("accuracy-data", { files: detail, model: "" });
  document.getElementById("accuracy-title").scrollIntoView({ block: "start" });
}));
const button = document.getElementById("accuracy-button");
const label = button.textContent;
button.addEventListener("click", () => attempt(button, async () => {
  const data = digits;
  await panel();
  if (data) await measure(data);
}));

// A folder that was dropped, as the files in it and below; what is hidden stays so.
const MOST_FILES = 10_000;
const filesBelow = async (entries) => {
  const [files, agenda] = [[], [...entries]];
  for (const entry of agenda) {
    if (entry.name.startsWith(".")) continue;
    if (entry.isDirectory) {
      const reader = entry.createReader();
      for (let some; (some = await new Promise((done, failed) => reader.readEntries(done, failed))).length; ) agenda.push(...some);
    } else {
      files.push(await new Promise((done, failed) => entry.file(done, failed)));
    }
    if (agenda.length > MOST_FILES) throw new Error(`it holds more than ${MOST_FILES} files`);
  }
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
};
document.addEventListener("folder-dropped", async ({ detail }) => {
  try {
    say("folder-read", await filesBelow(detail));
  } catch (error) {
    say("sample-failed", `That folder could not be read: ${error.message}`);
  }
});

// A sample: its network and curvature for the page; its digits once somebody wants it run.
const file = async (name) => new File([await (await ask(`samples/${name}`)).blob()], name);
const measure = async ({ model, data }) => say("accuracy-data", { files: [await file(data)], model });
let opened;
let digits;
for (const sample of document.querySelectorAll("[data-sample]")) {
  const { sample: id, digits: size } = sample.dataset;
  sample.addEventListener("click", () => attempt(sample, async () => {
    opened = { model: `${id}.onnx`, data: `digits-${size}.npz` };
    say("sample-open", await Promise.all([file(opened.model), file(`${id}.curvature.safetensors`)]));
    if (asked) await measure(opened);
  }));
}
// The page says what is open: the digits belong to the sample alone.
document.addEventListener("accuracy-state", ({ detail }) => {
  digits = opened?.model === detail.name ? opened : undefined;
  button.textContent = digits ? "Run it on 600 digits" : label;
});
