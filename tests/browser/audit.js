// A small audit of what is on the page: names, labels, ids, contrast, width. Answers a list of complaints.
() => {
  const found = [];
  const isShown = (element) => element.getClientRects().length > 0 && getComputedStyle(element).visibility !== "hidden";
  const name = (element) => (element.getAttribute("aria-label") || element.labels?.[0]?.textContent || element.textContent || element.title || element.alt || "").trim();
  const about = (element) => `<${element.tagName.toLowerCase()} ${element.className?.baseVal ?? element.className}> ${name(element).slice(0, 40)}`;
  for (const element of document.querySelectorAll("a[href], button, [role=button], input, select, textarea, [role=tab]")) {
    if (isShown(element) && !name(element)) found.push(`no name: ${about(element)}`);
    if (isShown(element) && !element.disabled && element.tabIndex < 0 && element.getAttribute("role") !== "tab") found.push(`not reachable: ${about(element)}`);
  }
  for (const image of document.querySelectorAll("img")) if (!image.hasAttribute("alt")) found.push("an image without alt");
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids)) if (ids.filter((each) => each === id).length > 1) found.push(`id twice: ${id}`);
  if (document.querySelectorAll("h1").length !== 1) found.push(`${document.querySelectorAll("h1").length} headings of level 1`);
  for (const tag of ["main", "nav", "header"]) if (!document.querySelector(tag)) found.push(`no ${tag}`);
  if (document.documentElement.scrollWidth > window.innerWidth) found.push(`wider than the window: ${document.documentElement.scrollWidth}`);

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
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !isShown(element) || element.closest("title, noscript, option, :disabled")) continue;
    const style = getComputedStyle(element);
    const colour = numbers(element instanceof SVGElement ? style.fill : style.color);
    const [one, other] = [luminance(colour), luminance(ground(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(1)}: ${about(element)}`);
  }
  return [...new Set(found)];
}
