// An audit of what is on the page, as far as a program can tell. Answers a list of complaints.
() => {
  const found = [];
  const every = (selector) => [...document.querySelectorAll(selector)].filter((element) => element.getClientRects().length > 0 && getComputedStyle(element).visibility !== "hidden");
  const text = (element) => (element?.textContent ?? "").trim();
  const named = (element) => element.getAttribute("aria-label")?.trim() || (element.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => text(document.getElementById(id))).join(" ").trim();
  const name = (element) => named(element) || text(element) || element.title || element.alt || [...element.querySelectorAll?.("img[alt]") ?? []].map((image) => image.alt).join("");
  const about = (element) => `<${element.tagName.toLowerCase()} ${element.className?.baseVal ?? element.className}> ${name(element).slice(0, 40)}`;
  const complain = (what, element) => found.push(`${what}: ${about(element)}`);

  // The frame.
  if (!document.documentElement.lang) found.push("no lang");
  if (!document.title) found.push("no title");
  for (const tag of ["main", "nav", "header"]) if (document.querySelectorAll(`body > ${tag}, header > ${tag}`).length !== 1) found.push(`not one ${tag}`);
  const here = [...document.querySelectorAll("nav a")].filter((link) => location.hash.startsWith(link.getAttribute("href")));
  if (document.querySelectorAll("nav [aria-current=page]").length !== here.length) found.push("not one current place");
  if (document.documentElement.scrollWidth > window.innerWidth) found.push(`wider than the window: ${document.documentElement.scrollWidth}`);
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids)) if (ids.filter((each) => each === id).length > 1) found.push(`id twice: ${id}`);
  for (const attribute of ["for", "aria-labelledby", "aria-describedby", "aria-controls", "list"]) {
    for (const element of document.querySelectorAll(`[${attribute}]`)) {
      for (const id of element.getAttribute(attribute).split(" ")) if (!document.getElementById(id)) complain(`${attribute} names nothing (${id})`, element);
    }
  }

  // Headings: one of the first level, none left out, none empty.
  const headings = every("h1, h2, h3, h4, h5, h6");
  if (document.querySelectorAll("h1").length !== 1) found.push(`${document.querySelectorAll("h1").length} headings of level 1`);
  headings.forEach((element, place) => {
    const [level, before] = [Number(element.tagName[1]), Number(headings[place - 1]?.tagName[1] ?? 0)];
    if (level > before + 1) complain(`a heading of level ${level} after one of ${before}`, element);
    if (!text(element)) complain("an empty heading", element);
  });

  // What can be used: a name, a way there by keyboard, a place large enough to hit.
  const controls = every("a[href], button, [role=button], input, select, textarea, [role=tab], summary");
  for (const element of controls) {
    const isField = element.matches("input, select, textarea");
    if (!(isField ? named(element) || text(element.labels?.[0]) : name(element))) complain("no name", element);
    if (!element.disabled && element.tabIndex < 0 && element.getAttribute("role") !== "tab") complain("not reachable", element);
    if (element.tabIndex > 0) complain("an order of its own", element);
    const isInText = element.matches("a") && getComputedStyle(element).display === "inline" && text(element.parentElement) !== text(element);
    const { width, height } = (element.type === "checkbox" ? element.labels[0] : element).getBoundingClientRect();
    const isInLine = element.matches("a") && (isInText || element.closest("td, dd, .crumb"));
    if (!isInLine && !element.matches(".skip") && (width < 24 || height < 22)) complain(`a target of ${Math.round(width)} by ${Math.round(height)}`, element);
  }
  const words = (of) => (of.normalize("NFKD").toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).join(" ");
  const unseen = "title, .sr";
  const looks = (element) => [...element.childNodes].map((each) => (each.nodeType === Node.TEXT_NODE ? each.data : each.matches?.(unseen) ? "" : looks(each))).join("");
  for (const element of controls.filter((each) => named(each) && !each.matches("input, select, textarea"))) {
    if (!` ${words(named(element))} `.includes(` ${words(looks(element))} `.replace("  ", " "))) complain(`called other than it looks (${looks(element)})`, element);
  }
  for (const link of every("main a[href]:not(.button, .crumb a)")) {
    const around = [...link.parentElement.childNodes].filter((each) => each.nodeType === Node.TEXT_NODE).map((each) => each.data).join("");
    if (words(around) && !getComputedStyle(link).textDecorationLine.includes("underline")) complain("told from its text by colour alone", link);
  }
  for (const element of every("div, span, p, b, i, strong, em, code, pre, small, time, dt, dd")) {
    if (element.hasAttribute("aria-label") && !element.hasAttribute("role")) complain("a name where none is read", element);
  }
  const before = document.activeElement;
  for (const element of controls.filter((each) => !each.disabled)) {
    element.focus({ preventScroll: true });
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    const box = element.querySelector(":scope > .box");
    const isSeen = (outlineStyle !== "none" && parseFloat(outlineWidth) >= 1) || (box && parseFloat(getComputedStyle(box).strokeWidth) >= 2);
    if (document.activeElement === element && !isSeen) complain("focus is not seen", element);
  }
  before?.focus?.({ preventScroll: true });
  for (const element of every("[tabindex='0']")) if (!element.matches("a, button, input, select, textarea, [role=tab], [role=button]") && !(element.scrollWidth > 0)) complain("a stop for nothing", element);

  // What is to be seen or heard in other ways.
  for (const image of document.querySelectorAll("img")) if (!image.hasAttribute("alt")) found.push("an image without alt");
  for (const picture of every("svg")) if (!picture.closest("[aria-hidden=true]") && !(picture.hasAttribute("role") && named(picture))) complain("a picture without a name", picture);
  for (const element of every("[role=progressbar], [role=tabpanel], [role=group], article, form, nav, dialog")) if (!named(element)) complain(`${element.getAttribute("role") ?? element.tagName} without a name`, element);
  for (const bar of every("[role=progressbar]")) if (!bar.hasAttribute("aria-valuenow")) complain("progress without a value", bar);
  for (const [part, whole] of [["tab", "tablist"], ["listitem", "list"]]) for (const element of every(`[role=${part}]`)) if (!element.closest(`[role=${whole}]`)) complain(`${part} outside of a ${whole}`, element);
  for (const strip of every("[role=tablist]")) if (strip.querySelectorAll("[aria-selected=true]").length !== 1) complain("not one tab is chosen", strip);
  for (const list of every("ul, ol")) if ([...list.children].some((each) => each.tagName !== "LI")) complain("a list of other things", list);
  for (const table of every("table")) {
    const heads = [...table.querySelectorAll("thead th")];
    if (!heads.length || heads.some((each) => each.scope !== "col" || !name(each))) complain("a table without its headers", table);
    if ([...table.querySelectorAll("tbody tr")].some((row) => row.children.length !== heads.length)) complain("a row of another length", table);
  }
  for (const field of every("[aria-invalid=true]")) if (!text(document.getElementById(field.getAttribute("aria-describedby")?.split(" ")[0]))) complain("invalid without a word", field);

  // Contrast.
  const numbers = (colour) => (colour.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((part) => part / 255).map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const style = getComputedStyle(each);
      const box = each.matches?.("g.node") ? getComputedStyle(each.querySelector(".box")).fill : style.backgroundColor;
      const [r, g, b, a = 1] = numbers(box === "none" ? "rgba(0,0,0,0)" : box);
      if (a > 0.9) return [r, g, b];
    }
    return numbers(getComputedStyle(document.documentElement).backgroundColor);
  };
  const contrast = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.getClientRects().length || element.closest("title, noscript, option, datalist, :disabled")) continue;
    const style = getComputedStyle(element);
    const ratio = contrast(numbers(element instanceof SVGElement ? style.fill : style.color), ground(element));
    if (ratio < 4.5) complain(`contrast ${ratio.toFixed(1)}`, element);
  }
  for (const element of every("input:not([type=checkbox]), select, textarea, button:not(.plain, [role=tab], :disabled)")) {
    const style = getComputedStyle(element);
    const isFilled = contrast(ground(element), ground(element.parentElement)) >= 3;
    if (!isFilled && style.borderStyle !== "none" && contrast(numbers(style.borderColor), ground(element.parentElement)) < 3 && element.matches("input, select, textarea")) complain("an edge that is hard to see", element);
  }
  return [...new Set(found)];
}
