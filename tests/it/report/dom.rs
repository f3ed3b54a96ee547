//! An HTML document as a tree. It is read as XML, which forgives nothing: our documents are both.

use std::collections::BTreeMap;

use quick_xml::{Reader, XmlVersion, events::Event};

/// An element.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) children: Vec<Self>,
    /// Its text, and that of what is in it.
    pub(crate) text: String,
}

impl Element {
    #[track_caller]
    pub(crate) fn parse(html: &str) -> Self {
        let mut reader = Reader::from_str(html);
        reader.config_mut().check_end_names = true;
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().expect("well-formed") {
                Event::Start(tag) => open.push(element(&tag)),
                Event::Empty(tag) => {
                    let element = element(&tag);
                    open.last_mut().expect("the root").children.push(element);
                }
                Event::End(_) => {
                    let element = open.pop().expect("an element");
                    let parent = open.last_mut().expect("its parent");
                    parent.text.push_str(&element.text);
                    parent.children.push(element);
                }
                Event::Text(text) => {
                    let text = text.decode().expect("UTF-8");
                    open.last_mut().expect("an element").text.push_str(&text);
                }
                Event::GeneralRef(name) => {
                    let character = match name.resolve_char_ref().expect("a reference") {
                        Some(character) => character.to_string(),
                        None => match &*name.decode().expect("UTF-8") {
                            "amp" => "&".into(),
                            "lt" => "<".into(),
                            "gt" => ">".into(),
                            "quot" => "\"".into(),
                            other => panic!("&{other};"),
                        },
                    };
                    open.last_mut()
                        .expect("an element")
                        .text
                        .push_str(&character);
                }
                Event::DocType(_) => {}
                Event::Eof => break,
                other => panic!("not expected: {other:?}"),
            }
        }
        assert_eq!(open.len(), 1, "all are closed");
        open.pop().expect("the root")
    }

    /// Itself and all below, in the document's order.
    pub(crate) fn all(&self) -> Vec<&Self> {
        let mut all = vec![self];
        all.extend(self.children.iter().flat_map(Self::all));
        all
    }

    pub(crate) fn named(&self, name: &str) -> Vec<&Self> {
        let mut named = self.all();
        named.retain(|it| it.name == name);
        named
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

fn element(tag: &quick_xml::events::BytesStart<'_>) -> Element {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let attributes = tag.attributes().map(|it| {
        let it = it.expect("an attribute");
        let value = it
            .normalized_value(XmlVersion::Implicit1_0)
            .expect("escaped")
            .into_owned();
        (text(it.key.as_ref()), value)
    });
    Element {
        name: text(tag.name().as_ref()),
        attributes: attributes.collect(),
        ..Element::default()
    }
}
