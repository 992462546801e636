//! Small steps on the document, each saying what it needs.

use wasm_bindgen::prelude::*;
use web_sys::{
    CustomEvent, CustomEventInit, Document, Element, Event, EventTarget, HtmlElement, HtmlTemplateElement,
    Node,
};

/// Calls `handler` for every `kind` event at `target`, for as long as the page lives.
pub fn on(target: &EventTarget, kind: &str, handler: impl FnMut(Event) + 'static) {
    on_boxed(target, kind, Box::new(handler));
}

fn on_boxed(target: &EventTarget, kind: &str, handler: Box<dyn FnMut(Event)>) {
    let closure = Closure::wrap(handler);
    // Refused only for a target that is none.
    let _ = target.add_event_listener_with_callback(kind, closure.as_ref().unchecked_ref());
    closure.forget();
}

/// Sets an element's text, unless it says that already.
pub fn set_text(element: &Node, text: &str) {
    if element.text_content().as_deref() != Some(text) {
        element.set_text_content(Some(text));
    }
}

/// Shows or hides an element.
pub fn show(element: &HtmlElement, visible: bool) {
    element.set_hidden(!visible);
}

/// Sets an attribute; names and values here are never refused.
pub fn set(element: &Element, name: &str, value: &str) {
    let _ = element.set_attribute(name, value);
}

/// A new element with text.
pub fn make(document: &Document, tag: &str, class: &str, text: &str) -> Element {
    let element =
        document.create_element(tag).unwrap_or_else(|_| wasm_bindgen::throw_str("a tag of ours is refused"));
    if !class.is_empty() {
        element.set_class_name(class);
    }
    if !text.is_empty() {
        element.set_text_content(Some(text));
    }
    element
}

/// Appends a child.
pub fn append(parent: &Node, child: &Node) {
    let _ = parent.append_child(child);
}

/// Removes every child.
pub fn clear(parent: &Node) {
    parent.set_text_content(None);
}

/// The first element of a fresh copy of a template.
pub fn stamp(template: &HtmlTemplateElement) -> Element {
    let first = template.content().first_element_child();
    let copy = first
        .and_then(|element| element.clone_node_with_deep(true).ok())
        .and_then(|node| node.dyn_into().ok());
    copy.unwrap_or_else(|| wasm_bindgen::throw_str("a template of index.html is empty"))
}

/// The first descendant that matches, as the type expected.
pub fn part<T: JsCast>(element: &Element, selector: &str) -> T {
    let found = element.query_selector(selector).ok().flatten().and_then(|part| part.dyn_into().ok());
    found.unwrap_or_else(|| wasm_bindgen::throw_str(&format!("index.html lacks {selector}")))
}

/// All children as elements.
pub fn children(element: &Element) -> Vec<Element> {
    let list = element.children();
    (0..list.length()).filter_map(|i| list.item(i)).collect()
}

/// A list of sentences.
pub fn fill_notes(document: &Document, list: &Element, notes: &[String]) {
    clear(list);
    for note in notes {
        append(list, &make(document, "li", "", note));
    }
}

/// A term and its definition, as a group.
pub fn fact(document: &Document, list: &Element, term: &str, text: &str, class: &str) {
    let group = make(document, "div", class, "");
    append(&group, &make(document, "dt", "", term));
    append(&group, &make(document, "dd", "", text));
    append(list, &group);
}

/// Tells whoever listens on the document something: how the page and the module that runs networks know each other.
pub fn dispatch(document: &Document, kind: &str, detail: &JsValue) {
    let init = CustomEventInit::new();
    init.set_detail(detail);
    if let Ok(event) = CustomEvent::new_with_event_init_dict(kind, &init) {
        let _ = document.dispatch_event(&event);
    }
}

/// What [`dispatch`] told.
pub fn detail(event: &Event) -> JsValue {
    event.dyn_ref::<CustomEvent>().map_or(JsValue::UNDEFINED, CustomEvent::detail)
}

/// A field of an object; undefined where there is none.
pub fn get(object: &JsValue, key: &str) -> JsValue {
    js_sys::Reflect::get(object, &key.into()).unwrap_or(JsValue::UNDEFINED)
}
