// The saved page: the same controls, verdict and cursor as in the notebook, over runs that were played before.

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function makeControl(control, number, change) {
  const row = document.createElement("div");
  row.className = "row";
  const id = `control-${number}`;
  const label = document.createElement("label");
  label.htmlFor = id;
  label.textContent = control.label;
  let input;
  let output = null;
  if (control.kind === "box") {
    input = Object.assign(document.createElement("input"), { type: "checkbox" });
    row.append(input, label);
  } else if (control.kind === "menu") {
    input = document.createElement("select");
    control.words.forEach((word) => input.add(new Option(word)));
    row.append(label, input);
  } else {
    input = Object.assign(document.createElement("input"), { type: "range", min: 0, max: control.words.length - 1 });
    output = document.createElement("output");
    row.append(label, output, input);
  }
  input.id = id;
  const get = () => (control.kind === "box" ? control.words.indexOf(input.checked ? "yes" : "no")
    : control.kind === "menu" ? input.selectedIndex : Number(input.value));
  const put = (index) => {
    if (control.kind === "box") input.checked = control.words[index] === "yes";
    else if (control.kind === "menu") input.selectedIndex = index;
    else {
      input.value = index;
      input.setAttribute("aria-valuetext", control.words[index]);
      output.textContent = control.words[index];
    }
  };
  input.addEventListener("input", () => {
    put(get());
    change();
  });
  return { row, get, put };
}

async function page() {
  const data = await unpack(document.getElementById("data").textContent.trim());
  const at = (id) => document.getElementById(id);
  const image = at("image");
  let state = null;
  const time = cursor(at("frame"), image, () => ({ panels: data.panels[state?.panels ?? 0], story: state?.story ?? {} }));
  const indices = () => controls.map((each) => each.get());
  const write = () =>
    data.controls.map((each, number) => `${encodeURIComponent(each.name)}=${encodeURIComponent(each.words[controls[number].get()])}`).join("&");
  const show = (keepsAddress) => {
    const key = indices().reduce((sum, index, number) => sum * data.controls[number].words.length + index, 0);
    state = data.states[key];
    image.src = `data:image/webp;base64,${state.picture}`;
    image.alt = state.alt;
    at("verdict").innerHTML = state.verdict;
    at("headline").innerHTML = state.table;
    at("says").textContent = "";
    time.redraw();
    if (!keepsAddress) history.replaceState(null, "", `#${write()}`);
  };
  const controls = data.controls.map((each, number) => makeControl(each, number, () => show(false)));
  at("controls").append(...controls.map((each) => each.row));
  const put = (chosen) => controls.forEach((each, number) => each.put(chosen[number]));
  const read = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    put(data.controls.map((each) => {
      const index = each.words.indexOf(asked.get(each.name));
      return index < 0 ? each.start : index;
    }));
    show(true);
  };
  data.presets.forEach((preset) => {
    const chip = Object.assign(document.createElement("button"), { type: "button", className: "chip", textContent: preset.name });
    chip.addEventListener("click", () => {
      put(preset.indices);
      show(false);
      at("says").textContent = preset.says;
    });
    at("presets").append(chip);
  });
  at("reset").addEventListener("click", () => {
    put(data.controls.map((each) => each.start));
    show(false);
  });
  at("copy").addEventListener("click", async () => {
    history.replaceState(null, "", `#${write()}`);
    await copyText(location.href);
    at("copy").textContent = "Copied";
    setTimeout(() => (at("copy").textContent = "Copy address"), 1500);
  });
  window.addEventListener("hashchange", read);
  window.addEventListener("resize", () => time.redraw());
  image.addEventListener("load", () => time.redraw());
  read();
}

page();
