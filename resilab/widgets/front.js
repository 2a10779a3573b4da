// What an explorer shows at once, or without a kernel: a picture that is out of date is dimmed,
// and a cursor walks through the time of all its panels. The saved page uses the cursor too.

export function cursor(frame, image, read, choose) {
  // read() gives {panels, story}; choose(time) follows the request that arrives then, if given; returns {move(time), redraw()}
  const lines = [];
  const bar = document.createElement("div");
  bar.className = "resilab-now";
  const play = document.createElement("button");
  play.type = "button";
  play.textContent = "▶ play";
  play.title = "let the time of the run pass; in the picture, move the mouse or press [ and ]" + (choose ? "; click, or press F, to follow one request" : "");
  const words = document.createElement("span");
  words.setAttribute("aria-live", "off");
  bar.append(play, words);
  frame.after(bar);
  let time = null;
  let timer = null;
  const draw = () => {
    const { panels, story } = read();
    bar.style.display = panels.length ? "" : "none";
    while (lines.length < panels.length) {
      const line = document.createElement("div");
      line.className = "resilab-cursor";
      frame.append(line);
      lines.push(line);
    }
    lines.forEach((line, number) => {
      const panel = panels[number];
      const isIn = panel && time !== null && time >= panel.low && time <= panel.high;
      line.style.display = isIn ? "block" : "none";
      if (!isIn) return;
      const share = panel.left + ((panel.right - panel.left) * (time - panel.low)) / (panel.high - panel.low);
      line.style.left = `${image.offsetLeft + share * image.offsetWidth}px`;
      line.style.top = `${image.offsetTop + panel.top * image.offsetHeight}px`;
      line.style.height = `${(panel.bottom - panel.top) * image.offsetHeight}px`;
    });
    if (time === null) words.textContent = "";
    else {
      const what = story.words ? story.words[Math.min(story.words.length - 1, Math.floor(time / story.step))] : "";
      words.textContent = `t = ${time.toFixed(1)} s${what ? ": " + what : ""}`;
    }
  };
  const span = () => {
    const panels = read().panels;
    return [Math.min(...panels.map((each) => each.low)), Math.max(...panels.map((each) => each.high))];
  };
  const move = (to) => {
    time = to;
    draw();
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶ play";
  };
  const timeAt = (event) => {
    const box = image.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    const y = (event.clientY - box.top) / box.height;
    const panel = read().panels.find((each) => x >= each.left && x <= each.right && y >= each.top && y <= each.bottom);
    return panel ? panel.low + ((panel.high - panel.low) * (x - panel.left)) / (panel.right - panel.left) : null;
  };
  image.addEventListener("mousemove", (event) => {
    const at = timeAt(event);
    if (at === null) return;
    stop();
    move(at);
  });
  image.addEventListener("click", (event) => {
    const at = timeAt(event);
    if (at !== null) choose?.(at);
  });
  const step = (by) => {
    const [low, high] = span();
    stop();
    move(Math.min(high, Math.max(low, (time ?? low) + (by * (high - low)) / 120)));
  };
  play.addEventListener("keydown", (event) => {
    const by = { "[": -1, "]": 1, ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) {
      step(by);
      event.preventDefault();
      event.stopPropagation();
    } else if (choose && event.key.toLowerCase() === "f") choose(time ?? span()[0]);
  });
  play.addEventListener("click", () => {
    if (timer) return stop();
    const [low, high] = span();
    if (time === null || time >= high) time = low;
    play.textContent = "❚❚ pause";
    timer = setInterval(() => {
      if (!play.isConnected || time >= high) return stop();
      move(Math.min(high, time + (high - low) / 160));
    }, 50);
  });
  draw();
  return { move, redraw: draw };
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text }); // no clipboard without a secure page
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

const KEPT = 48;

// What was shown or foreseen before is shown as soon as the controls ask for it, while the kernel is still being told.
function album(root, picture, model, parts, asked) {
  const [image, verdict, headline] = parts;
  const pages = new Map();
  let over = null; // the page that covers what the models hold
  let isTouched = false; // the kernel has drawn since
  const keyOf = (era, settings) => JSON.stringify([era, ...settings.map((each) => (typeof each === "number" ? +each.toPrecision(9) : each))]);
  const put = (key, page) => {
    pages.delete(key);
    pages.set(key, page);
    if (pages.size > KEPT) pages.delete(pages.keys().next().value);
  };
  const live = () => ({
    png: image.get("value"), words: image.get("tooltip"), verdict: verdict.get("value"), headline: headline.get("value"),
    panels: model.get("panels"), story: model.get("story"),
  });
  const show = (page, withPicture) => {
    if (withPicture) {
      const address = URL.createObjectURL(new Blob([page.png], { type: "image/png" }));
      picture.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
      picture.src = address;
    }
    picture.title = page.words;
    for (const name of ["verdict", "headline"]) root.querySelector(`.resilab-${name} .widget-html-content`).innerHTML = page[name];
  };
  const remember = () => put(keyOf(model.get("era"), model.get("shown")), live());
  const present = () => {
    const now = asked();
    const shown = model.get("shown");
    const isLive = now.every((each, number) => same(each, shown[number]));
    const page = isLive ? null : pages.get(keyOf(model.get("era"), now)) ?? null;
    root.classList.toggle("resilab-stale", !isLive && !page);
    if (page ? page !== over || isTouched : over) show(page ?? live(), page || !isTouched);
    over = page;
    isTouched = false;
  };
  const drawn = () => {
    if (!over) return;
    isTouched = true;
    if (!sameBytes(over.png, image.get("value"))) present(); // a setting that was passed meanwhile
  };
  const reworded = () => {
    if (over) show(over, false);
    const page = pages.get(keyOf(model.get("era"), model.get("shown")));
    if (page && page.png === image.get("value")) Object.assign(page, { verdict: verdict.get("value"), headline: headline.get("value") });
  };
  const given = (page, buffers) => {
    if (page.era === model.get("era")) put(keyOf(page.era, page.asked), { ...page, png: buffers[0] });
  };
  const settled = () => {
    remember();
    present();
  };
  image.on("change:value", drawn);
  verdict.on("change:value", reworded);
  headline.on("change:value", reworded);
  model.on("change:shown change:era", settled);
  model.on("msg:custom", given);
  settled();
  return {
    present,
    now: () => over ?? live(),
    forget() {
      image.off("change:value", drawn);
      verdict.off("change:value", reworded);
      headline.off("change:value", reworded);
      model.off("change:shown change:era", settled);
      model.off("msg:custom", given);
    },
  };
}

function sameBytes(one, other) {
  if (one.byteLength !== other.byteLength) return false;
  const [left, right] = [one, other].map((each) => new Uint8Array(each.buffer, each.byteOffset, each.byteLength));
  return left.every((byte, place) => byte === right[place]);
}

function same(one, other) {
  return one === other || (typeof one === "number" && typeof other === "number" && Math.abs(one - other) < 1e-12);
}

const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };

// Jupyter Notebook takes the arrow keys before a slider sees them; the window sees them first.
function moveByArrows(root, inputs) {
  const sliders = inputs.filter((each) => each.get("_model_name").endsWith("SliderModel"));
  const move = (event) => {
    const handle = event.target.closest?.(".noUi-handle");
    if (!(event.key in STEPS) || !handle || !root.contains(handle) || event.ctrlKey || event.altKey || event.metaKey) return;
    const slider = sliders[[...root.querySelectorAll(".noUi-handle")].indexOf(handle)];
    if (!slider) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const labels = slider.get("_options_labels");
    const [name, low, high, step] = labels
      ? ["index", 0, labels.length - 1, 1]
      : ["value", slider.get("min"), slider.get("max"), slider.get("step")];
    const steps = Math.round((slider.get(name) - low) / step) + STEPS[event.key];
    const value = Math.min(high, Math.max(low, +(low + steps * step).toPrecision(12)));
    if (value === slider.get(name)) return;
    slider.set(name, value);
    slider.save_changes();
  };
  window.addEventListener("keydown", move, true);
  return () => window.removeEventListener("keydown", move, true);
}

async function render({ model, el }) {
  el.style.display = "none";
  const models = (name) =>
    Promise.all(model.get(name).map((each) => model.widget_manager.get_model(each.replace("IPY_MODEL_", ""))));
  const inputs = await models("inputs");
  const parts = await models("parts");
  const isOff = { value: false };
  let root = null;
  let time = null;
  let forget = () => {};
  const asked = () => inputs.map((each) => (each.get("_options_labels") !== undefined ? each.get("index") : each.get("value")));
  let pages = null;
  const mark = () => {
    pages?.present();
    time?.redraw();
  };
  const begin = () => {
    if (isOff.value) return;
    root = el.closest(".resilab-explorer");
    const image = root?.querySelector(".resilab-picture img");
    if (!image) return void requestAnimationFrame(begin);
    el.closest(".jp-OutputArea")
      ?.querySelectorAll(":scope > .jp-OutputArea-child:has(> .jp-RenderedImage)")
      .forEach((each) => (each.style.display = "none")); // the still picture, for readers without a kernel
    root.addEventListener("click", async (event) => {
      const copy = event.target.closest?.("[data-copy]");
      if (!copy) return;
      await copyText(copy.nextElementSibling.textContent);
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy"), 1500);
    });
    forget = moveByArrows(root, inputs);
    const labels = model.get("labels");
    const name = () =>
      root.querySelectorAll(".resilab-controls .noUi-handle").forEach((handle) => {
        const row = handle.closest(".widget-vbox");
        const label = row?.querySelector("label")?.textContent;
        handle.setAttribute("aria-label", label || labels[0] || "");
      });
    name();
    setTimeout(name, 500);
    const dark = () => {
      const colour = getComputedStyle(document.body).getPropertyValue("--jp-layout-color0").trim();
      const isDark = document.body.dataset.jpThemeLight === "false" || /^#?(1|2|0)[0-9a-f]/i.test(colour.replace("#", ""));
      root.classList.toggle("resilab-dark", isDark);
      root.classList.toggle("resilab-other-theme", isDark !== model.get("is_dark"));
      return isDark;
    };
    const frame = document.createElement("div");
    frame.className = "resilab-frame";
    image.before(frame);
    frame.append(image);
    pages = album(root, image, model, parts, asked);
    time = cursor(frame, image, pages.now, (at) => {
      model.set("chosen", { time: at, count: (model.get("chosen").count ?? 0) + 1 });
      model.save_changes();
    });
    let waiting = null;
    const tell = () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        const width = Math.round(frame.clientWidth / 20) * 20;
        if (!width) return;
        const view = { width, ratio: window.devicePixelRatio || 1, dark: dark() };
        if (JSON.stringify(view) !== JSON.stringify(model.get("view"))) {
          model.set("view", view);
          model.save_changes();
        }
        time.redraw();
      }, 150);
    };
    new ResizeObserver(tell).observe(frame);
    new MutationObserver(tell).observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
    model.on("change:is_dark", dark);
    dark();
  };
  inputs.forEach((each) => each.on("change:value change:index", mark));
  model.on("change:panels change:story", () => time?.redraw());
  begin();
  return () => {
    isOff.value = true;
    forget();
    pages?.forget();
    inputs.forEach((each) => each.off("change:value change:index", mark));
  };
}

export default { render };
